// Package transactions shows how a row of the host's and a deduction commit
// together: with a transaction of bun's, with one that another tool works in, and
// with one that another tool began. See the examples of its test file.
package transactions
