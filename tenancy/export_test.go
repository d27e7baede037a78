package tenancy

// What the tests of the life cycle reach without a database.
type Step = step

var Next = next
