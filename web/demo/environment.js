// The game's environment: Python's side of it, as JavaScript sees it. States
// cross as JSON, so that no Python object has to be released by hand.
const bridge = `
import json

import env

def reset(length, seed):
    global game
    game = env.Lanterns(length)
    return json.dumps(game.reset(seed))

def advance(moves):
    state = game.render()
    for first, second in zip(moves[::2], moves[1::2]):
        state = game.step((int(first), int(second)))
    return json.dumps(state)

def suggest(player):
    return game.suggest(player)
`;

export class Environment {
	// pyodide is a loaded Pyodide, source the text of env.py.
	constructor(pyodide, source) {
		pyodide.FS.writeFile("env.py", source);
		pyodide.runPython(bridge);
		this.python = pyodide.globals;
	}

	// reset starts a game of so many ticks and returns its first state.
	reset(length, seed) {
		return this.call("reset", length, seed);
	}

	// advance plays actions, two digits a tick, and returns the state after them.
	advance(moves) {
		return this.call("advance", moves);
	}

	// suggest returns a good action for a player.
	suggest(player) {
		return this.call("suggest", player);
	}

	call(name, ...args) {
		const f = this.python.get(name);
		try {
			return JSON.parse(f(...args));
		} finally {
			f.destroy();
		}
	}
}
