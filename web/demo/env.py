"""Lanterns: the environment of the demo study.

Two players walk through a dark garden. A lantern lights up when both stand on
its two stones at the same time; then the next one waits elsewhere.

This is ordinary Python: no browser, no clock, no shared random numbers. The
same seed and the same actions make the same game everywhere, in both players'
browsers and later in the analysis.
"""

import hashlib

WIDTH, HEIGHT = 11, 7
LANTERNS = 5
HEDGES = 14
# What an action does to a player's place: stay, up, right, down, left.
MOVES = ((0, 0), (0, -1), (1, 0), (0, 1), (-1, 0))


class Random:
    """A generator of our own: `random` may change between Python versions."""

    def __init__(self, seed):
        digest = hashlib.sha256(str(seed).encode()).digest()
        self.state = int.from_bytes(digest[:8], "big")

    def below(self, n):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % n

    def choice(self, items):
        return items[self.below(len(items))]


class Lanterns:
    def __init__(self, length=240):
        self.length = length  # ticks

    def reset(self, seed):
        self.random = Random(seed)
        self.tick = 0
        self.players = [(1, HEIGHT // 2), (WIDTH - 2, HEIGHT // 2)]
        self.lit = []  # the stones of the lanterns that burn
        self.hedges = self._plant()
        self.stones = self._next_stones()
        self.record = hashlib.sha256(repr((seed, sorted(self.hedges), self.stones)).encode())
        return self.render()

    def step(self, actions):
        """Moves both players at once. Two may stand on the same place."""
        if self.done:
            raise RuntimeError("the game is over")
        self.tick += 1
        self.players = [self._moved(p, MOVES[a]) for p, a in zip(self.players, actions, strict=True)]
        if set(self.players) == set(self.stones):
            self.lit.append(self.stones)
            self.stones = () if self.done else self._next_stones()
        self.record.update(repr((tuple(actions), self.players, self.stones)).encode())
        return self.render()

    @property
    def score(self):
        return len(self.lit)

    @property
    def done(self):
        return self.score == LANTERNS or self.tick >= self.length

    @property
    def digest(self):
        """Sums up the whole game so far: equal digests, equal games."""
        return self.record.hexdigest()[:16]

    def render(self):
        """What there is to draw. The page knows nothing else of the game."""
        return {
            "width": WIDTH,
            "height": HEIGHT,
            "hedges": sorted(self.hedges),
            "players": self.players,
            "stones": self.stones,
            "lit": self.lit,
            "score": self.score,
            "lanterns": LANTERNS,
            "tick": self.tick,
            "length": self.length,
            "done": self.done,
            "digest": self.digest,
        }

    def suggest(self, player):
        """An action on a shortest way to a stone, for a player who is a program."""
        if not self.stones:
            return 0
        a, b = (self._distances(stone) for stone in self.stones)
        p, q = self.players
        straight = max(a[p], b[q]) <= max(b[p], a[q])
        way = (a if straight else b) if player == 0 else (b if straight else a)
        here = self.players[player]
        return min(range(len(MOVES)), key=lambda action: way[self._moved(here, MOVES[action])])

    def _moved(self, place, move):
        there = (place[0] + move[0], place[1] + move[1])
        return there if self._free(there) else place

    def _free(self, place):
        return 0 <= place[0] < WIDTH and 0 <= place[1] < HEIGHT and place not in self.hedges

    def _plant(self):
        """Sets hedges one by one, never one that cuts the garden in two."""
        self.hedges = set()
        places = [(x, y) for x in range(WIDTH) for y in range(HEIGHT) if (x, y) not in self.players]
        while len(self.hedges) < HEDGES:
            place = self.random.choice(places)
            places.remove(place)
            self.hedges.add(place)
            if len(self._distances(self.players[0])) < WIDTH * HEIGHT - len(self.hedges):
                self.hedges.remove(place)
        return self.hedges

    def _next_stones(self):
        """Two places apart from each other, with nobody on them."""
        free = [(x, y) for x in range(WIDTH) for y in range(HEIGHT) if self._free((x, y)) and (x, y) not in self.players]
        first = self.random.choice(free)
        far = [p for p in free if abs(p[0] - first[0]) + abs(p[1] - first[1]) >= 4]
        return (first, self.random.choice(far))

    def _distances(self, start):
        """Steps from start to every place that can be reached."""
        distance = {start: 0}
        frontier = [start]
        for place in frontier:  # grows while it is walked
            for move in MOVES[1:]:
                there = self._moved(place, move)
                if there not in distance:
                    distance[there] = distance[place] + 1
                    frontier.append(there)
        return distance
