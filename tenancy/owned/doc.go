// Package owned keeps the rows of one account apart from those of every other, in
// the host's own tables.
package owned
