// Package sqlite opens a SQLite file as this library needs it. Only tests and
// examples use it: a host brings its own driver.
package sqlite

import (
	"database/sql"
	"net/url"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// settings make a file safe for money and for several processes. A transaction
// takes the write lock when it begins: one that read first and then wrote would
// fail at once under load, and no busy timeout helps it. FULL keeps what was
// committed through a loss of power.
const settings = "_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_txlock=immediate"

// Open is a pool on the file at path, which is made if it is missing. Nothing is
// read or written before the first statement.
func Open(path string) (*bun.DB, error) {
	db, err := sql.Open("sqlite", DSN(path))
	if err != nil {
		return nil, err
	}
	return bun.NewDB(db, sqlitedialect.New()), nil
}

// DSN is the data source name of the file at path, for the driver "sqlite".
func DSN(path string) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + settings
}
