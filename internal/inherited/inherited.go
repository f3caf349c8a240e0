// Package inherited closes what a careless caller left open for the processes that
// belljar starts.
//
// # Limitations
//
// Outside Linux there is nothing to close: no tier runs there.
package inherited
