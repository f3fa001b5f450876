// Errors as the loader makes and shows them.

export function fault(code, message, cause) {
	const err = new Error(message, cause === undefined ? undefined : { cause });
	err.name = "InitgraceError";
	err.code = code;
	return err;
}

export const text = (err) => (err instanceof Error ? err.message : String(err));

// report makes an exception of the page's own visible without ending anything.
export const report = (err) =>
	typeof reportError === "function" ? reportError(err) : setTimeout(() => { throw err; });
