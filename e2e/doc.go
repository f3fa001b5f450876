// Package e2e tests the whole path on real parts: a real Chromium, real pages,
// a main thread that is really blocked, the real server on a real listener,
// and a network that faultproxy damages.
//
// While a page is blocked nothing inside it can fire, and DevTools commands to
// it wait. So whatever is asserted meanwhile is asserted from the server's
// side: Lab.WaitFor and Lab.History read the presence changes that the server
// reports once they are stored.
//
// One browser serves all tests; each participant has a browser context (its
// own cookies, cache and renderer process). An uncaught exception or an error
// on a page's console fails the test, unless Page.Expect named it.
//
// What a failed test leaves (screenshots, consoles, the server's log) goes to
// INITGRACE_ARTIFACTS, or to a folder under the system's temporary one that
// the test names. INITGRACE_LONG=1 adds the tests that take minutes.
// INITGRACE_HOST=page puts the loader on the page, instead of in a worker.
// INITGRACE_SCREENSHOTS names a folder for pictures for the documentation.
package e2e
