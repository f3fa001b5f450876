"""Flask-SocketIO on eventlet, with the same events and the same grace as the
other servers of the comparison: a disconnect holds the seat for 30 s, or until
the lease of a load ends. Debian: python3-flask-socketio python3-eventlet."""

import eventlet

eventlet.monkey_patch()

import time

import eventlet.wsgi
from flask import Flask, request
from flask_socketio import SocketIO, emit

LEASE, HOLD = 60, 30
app = Flask(__name__)
io = SocketIO(app, async_mode="eventlet", ping_interval=2, ping_timeout=7.5, transports=["websocket"])
seats, groups, by_sid = {}, {}, {}


class Seat:
    def __init__(self, participant, partners, token):
        self.participant, self.partners, self.token = participant, partners, token
        self.sid, self.epoch, self.version, self.seq = None, 0, 0, 0
        self.scene, self.loading, self.gone = "", 0, None


def tell(seat, state):
    seat.seq += 1
    for partner in seat.partners:
        if partner is not seat and partner.sid:
            io.emit("partner_state", {"participant": seat.participant, "state": state, "seq": seat.seq}, to=partner.sid)


@io.on("connect")
def connected(auth):
    participant = auth["participant"]
    seat = seats.get(participant)
    restored = seat is not None
    if not restored:
        partners = groups.setdefault(auth["group"], [])
        seat = seats[participant] = Seat(participant, partners, request.sid)
        partners.append(seat)
    elif seat.token != auth["token"]:
        return False
    if seat.gone:
        seat.gone.cancel()
    seat.sid = request.sid
    by_sid[request.sid] = seat
    seat.epoch += 1
    emit("session", {
        "participant": participant, "token": seat.token, "epoch": seat.epoch, "restored": restored,
        "scene_id": seat.scene, "version": seat.version, "group": auth["group"],
    })
    tell(seat, "active")


@io.on("pyodide_loading_start")
def loading_start(_):
    seat = by_sid[request.sid]
    seat.loading = time.time() + LEASE
    tell(seat, "loading")
    return {"ok": True, "lease_ms": LEASE * 1000, "cap_ms": 180000}


@io.on("pyodide_loading_complete")
def loading_complete(_):
    seat = by_sid[request.sid]
    seat.loading = 0
    tell(seat, "active")
    return {"ok": True, "duration_ms": 0}


@io.on("send")
def send(message):
    seat = by_sid[request.sid]
    for partner in seat.partners:
        if partner is not seat and partner.sid:
            io.emit("message", {"from": seat.participant, "data": message["data"]}, to=partner.sid)
    return {"ok": True}


@io.on("state_save")
def state_save(state):
    seat = by_sid[request.sid]
    seat.scene = state["scene_id"]
    seat.version += 1
    return {"ok": True, "version": seat.version}


@io.on("ping")
def ping(_):
    emit("pong", {})


@io.on("disconnect")
def disconnected():
    seat = by_sid.pop(request.sid, None)
    if seat is None or seat.sid != request.sid:
        return
    seat.sid = None
    tell(seat, "away")

    def gone():
        seat.loading = 0
        tell(seat, "gone")

    seat.gone = eventlet.spawn_after(max(HOLD, seat.loading - time.time()), gone)


if __name__ == "__main__":
    listener = eventlet.listen(("127.0.0.1", 0), backlog=4096)
    print(f"serves http://127.0.0.1:{listener.getsockname()[1]}/", flush=True)
    eventlet.wsgi.server(listener, app, log_output=False, max_size=20000)
