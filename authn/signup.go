package authn

import (
	"context"
	"errors"
	"net/http"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/tenancy"
)

// FirstKey is the name of the key that SignUp issues.
const FirstKey = "first key"

// SignUp registers whoever posts to it, at whatever path it is mounted:
//
//	POST {"name": "…", "email": "…", "password": "…"}
//
// The plan is Config.TrialPlan of tenancy: a member "plan", and any other, is
// refused. The answer is 201 with account, user, trial_ends_at and what
// PasswordConfig.SignUpAnswer adds; and with keys, unless they are nil, key and
// api_key, which is shown this once. An account that must pay before it may mint
// keys, or whose plan has no room for one, gets none. Everything is written in one
// transaction. An address that signs up too often gets ErrTooManyAttempts.
func (p *Passwords) SignUp(db *bun.DB, keys *Keys) http.Handler {
	mux := problem.NewMux(p.cfg.OnError)
	mux.Route("POST /", func(w http.ResponseWriter, r *http.Request) error {
		var body struct {
			Name     string `json:"name"`
			Email    string `json:"email"`
			Password string `json:"password"`
		}
		if err := problem.Decode(w, r, &body); err != nil {
			return err
		}
		if err := p.MaySignUp(r); err != nil {
			return err
		}
		var answer map[string]any
		_, err := p.Register(r.Context(), db, tenancy.Register{
			Name: body.Name, Email: body.Email,
			Then: func(ctx context.Context, db bun.IDB, made tenancy.Registered) (err error) {
				answer, err = p.welcome(ctx, db, keys, made)
				return err
			},
		}, body.Password)
		if err != nil {
			return err
		}
		problem.JSON(w, http.StatusCreated, answer)
		return nil
	})
	return mux
}

// welcome issues the first key and makes the answer of a sign-up.
func (p *Passwords) welcome(ctx context.Context, db bun.IDB, keys *Keys, made tenancy.Registered) (map[string]any, error) {
	answer := map[string]any{"account": made.Account, "user": made.User}
	if !made.Account.TrialEndsAt.IsZero() {
		answer["trial_ends_at"] = made.Account.TrialEndsAt
	}
	if keys != nil && tenancy.Check(made.Account.State, made.Plan, keys.now(), tenancy.MintKeys) == nil {
		key, err := keys.Issue(ctx, db, Issue{
			Account: made.Account.ID, Name: FirstKey, Actor: tenancy.Actor{Kind: tenancy.ActorUser, ID: string(made.User.ID)},
		})
		switch {
		case err == nil:
			answer["key"], answer["api_key"] = key.Key, key.Secret
		case !errors.Is(err, tenancy.ErrLimit):
			return nil, err
		}
	}
	if p.cfg.SignUpAnswer == nil {
		return answer, nil
	}
	more, err := p.cfg.SignUpAnswer(ctx, db, made)
	if err != nil {
		return nil, err
	}
	for name, value := range more {
		if _, ours := answer[name]; !ours {
			answer[name] = value
		}
	}
	return answer, nil
}
