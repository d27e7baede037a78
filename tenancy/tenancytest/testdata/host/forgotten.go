//go:build forgotten

package host

import "github.com/quitrent/quitrent/tenancy/owned"

var tables = owned.New(owned.Config{Tables: []owned.Table{
	{Model: (*Note)(nil)},
}})
