package problem

import (
	"fmt"
	"net/http"
	"strconv"
)

// Limit is the parameter limit of a list, a number from 1 to 500, or 0 where it is not
// given. Anything else is an error that wraps invalid.
func Limit(r *http.Request, invalid error) (int, error) {
	s := r.URL.Query().Get("limit")
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 500 {
		return 0, fmt.Errorf("%w: limit is a number from 1 to 500", invalid)
	}
	return n, nil
}
