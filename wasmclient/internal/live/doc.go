// Package live holds the tests of the client against the real server. They are
// a package of their own so that the client's tests, and above all its fuzzer,
// are built without the server and its database.
package live
