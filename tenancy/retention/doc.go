// Package retention x.
package retention
