// Package generator is a crowd of participants without browsers: what each of
// them costs is a socket, one goroutine and a few kilobytes, so that thousands
// fit beside the server that they measure. They speak just enough Socket.IO,
// and the same to every server. A page of this kind can be frozen (the browser
// goes on to answer protocol pings, the page answers nothing) and dead (nothing
// answers, and nothing is closed).
package generator
