// Package all is the only place that names the tiers.
//
// A program calls [Reexec] first in main: every tier runs parts of itself as
// further processes of the same program. A new tier is one line here.
//
// # Limitations
//
// Outside Linux there is no tier yet, and both functions say so.
package all
