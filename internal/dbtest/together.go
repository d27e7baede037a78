package dbtest

import "sync"

// Together runs fn n times at once, as near to the same moment as may be, and returns
// the errors in order.
func Together(n int, fn func(i int) error) []error {
	var (
		wg   sync.WaitGroup
		errs = make([]error, n)
		gate = make(chan struct{})
	)
	for i := range n {
		wg.Go(func() {
			<-gate
			errs[i] = fn(i)
		})
	}
	close(gate)
	wg.Wait()
	return errs
}
