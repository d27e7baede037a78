package credits

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/quitrent/quitrent/tenancy"
)

// BudgetError is an ErrBudget with its numbers.
type BudgetError struct {
	// Subject is whose budget it is.
	Subject tenancy.Actor `json:"subject"`
	// Limit is the budget, Used what of it was spent or is held, Need what was asked for;
	// in credits.
	Limit int64 `json:"limit"`
	Used  int64 `json:"used"`
	Need  int64 `json:"need"`
	// Until is when the budget begins anew; zero if it never does.
	Until time.Time `json:"until,omitzero"`
}

// Error says what was needed and what there was.
func (e *BudgetError) Error() string {
	return fmt.Sprintf("%v: this takes %d, and of %d are %d used", ErrBudget, e.Need, e.Limit, e.Used)
}

// Unwrap is ErrBudget.
func (e *BudgetError) Unwrap() error { return ErrBudget }

// ProblemMembers adds the numbers to the HTTP answer, and budget_until where waiting for
// it helps: not where more is asked for than the whole budget.
func (e *BudgetError) ProblemMembers() map[string]any {
	m := map[string]any{
		"budget_subject": e.Subject, "budget_limit": e.Limit, "budget_used": e.Used, "credits_needed": e.Need,
	}
	if !e.Until.IsZero() && e.Need <= e.Limit {
		m["budget_until"] = e.Until
	}
	return m
}

// left is what of the budget was not used.
func (e *BudgetError) left() int64 { return e.Limit - min(e.Limit, e.Used) }

// detail is the error as it is remembered under a key.
func (e *BudgetError) detail() string {
	data, _ := json.Marshal(e) // of texts and numbers, which cannot fail
	return string(data)
}
