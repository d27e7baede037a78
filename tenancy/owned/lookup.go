package owned

// Lookup is a table that finds an account from outside of any, such as that of a
// key by its id. Its own key does not begin with the account, so it is no Table: it
// is not scoped and not exported, but erased with the account.
type Lookup struct {
	// Name is the table's.
	Name string
	// Account is the column that names the account. Default: DefaultColumn.
	Account string
	// Keep says that the rows survive the erasure of the account. They hold ids, and
	// nothing personal.
	Keep bool
}
