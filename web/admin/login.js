const problem = document.querySelector("#problem");

document.querySelector("form").addEventListener("submit", async (event) => {
	event.preventDefault();
	problem.textContent = "";
	try {
		const response = await fetch("/admin/login", {
			method: "POST",
			headers: { "Content-Type": "application/json" },
			body: JSON.stringify({ token: document.querySelector("#token").value }),
		});
		const answer = await response.json();
		if (answer.ok) {
			location.replace("/admin/");
			return;
		}
		problem.textContent = answer.message;
	} catch {
		problem.textContent = "the server does not answer";
	}
});
