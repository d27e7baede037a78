package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
)

// childDSN in the environment makes this program a child: callers on the books of that
// address, in a process of their own.
const childDSN = "QUITRENT_BENCH_CHILD"

// order is what a child is told to do, one after the other, until its input ends.
type order struct {
	Callers int
	Stretch stretch
	Check   bool // instead: the sampled outcomes
}

// answerOf is what it did.
type answerOf struct {
	Pace           pace
	Taken, Numbers int64 // since it began
	Err            string
}

// isChild reports whether this process is one, after it has done all it was told.
func isChild() bool {
	dsn := os.Getenv(childDSN)
	if dsn == "" {
		return false
	}
	orders := make(chan order)
	go func() {
		in := json.NewDecoder(os.Stdin)
		for {
			var o order
			if in.Decode(&o) != nil {
				os.Exit(0) // the parent has ended, or wants no more: leave no process behind
			}
			orders <- o
		}
	}()
	ctx := context.Background()
	k, err := dial(ctx, dsn)
	out := json.NewEncoder(os.Stdout)
	for o := range orders {
		var a answerOf
		if err == nil {
			a, err = k.obey(ctx, o)
		}
		if err != nil {
			a.Err = err.Error()
		}
		if out.Encode(a) != nil {
			break
		}
	}
	return true
}

func (k *books) obey(ctx context.Context, o order) (a answerOf, err error) {
	if o.Check {
		return a, k.checkSample(ctx)
	}
	a.Pace, err = rush(ctx, o.Stretch, o.Callers, k.deduct(k.ledger, 1))
	a.Taken, a.Numbers = k.told.taken.Load(), k.told.numbers.Load()
	return a, err
}

// child is such a process.
type child struct {
	cmd  *exec.Cmd
	stop io.Closer
	in   *json.Encoder
	out  *json.Decoder
	last answerOf
}

func newChild(dsn string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.Command(self)}
	c.cmd.Env = append(os.Environ(), childDSN+"="+dsn)
	c.cmd.Stderr = os.Stderr
	stdin, err1 := c.cmd.StdinPipe()
	stdout, err2 := c.cmd.StdoutPipe()
	if err := errors.Join(err1, err2, c.cmd.Start()); err != nil {
		return nil, err
	}
	c.stop, c.in, c.out = stdin, json.NewEncoder(stdin), json.NewDecoder(stdout)
	return c, nil
}

func (c *child) do(o order) error {
	if err := c.in.Encode(o); err != nil {
		return err
	}
	c.last = answerOf{}
	if err := c.out.Decode(&c.last); err != nil {
		return fmt.Errorf("a child ended: %w", err)
	}
	if c.last.Err != "" {
		return fmt.Errorf("a child: %s", c.last.Err)
	}
	return nil
}

func (c *child) end() error {
	_ = c.stop.Close()
	return c.cmd.Wait()
}

// processes are a crowd of n callers in each of these.
func processes(n int, children ...*child) crowd {
	return func(_ context.Context, s stretch) (p pace, err error) {
		var each []func() error
		for _, c := range children {
			each = append(each, func() error { return c.do(order{Callers: n, Stretch: s}) })
		}
		if err := atOnce(each...); err != nil {
			return p, err
		}
		for _, c := range children {
			p.Rate += c.last.Pace.Rate
			p.Took = append(p.Took, c.last.Pace.Took...)
		}
		slices.Sort(p.Took)
		return p, nil
	}
}

// twoProcesses must not be slower together than one of them: they wait for each other's
// lock of the account.
func twoProcesses(ctx context.Context, b *bench, server string) error {
	return withBooks(ctx, b, onPostgres(server), shape{accounts: 1}, func(k *books) (err error) {
		var children []*child
		defer func() {
			for _, c := range children {
				err = errors.Join(err, c.end())
			}
		}()
		for range 2 {
			c, err := newChild(k.dsn)
			if err != nil {
				return err
			}
			children = append(children, c)
		}
		n := b.pick(128, 8)
		err = compete(ctx, b, contest{
			name: "credits: hot account, 2 processes against 1", faster: true, bar: 1,
			ours: processes(n, children...), baseline: processes(n, children[0]),
		})
		if err != nil {
			return err
		}
		for _, c := range children {
			k.told.taken.Add(c.last.Taken)
			k.told.numbers.Add(c.last.Numbers)
			if err := c.do(order{Check: true}); err != nil {
				return err
			}
		}
		return nil
	})
}
