package tidy

// run is one run of the server and its clock.
type run struct {
	now    int64 // milliseconds, of the latest record
	groups map[string]*group
}

func (r *run) group(name string) *group {
	g := r.groups[name]
	if g == nil {
		g = &group{name: name}
		r.groups[name] = g
	}
	return g
}

// group integrates over time how many of its members hold a seat. What the
// partners of one member waited is the difference of two readings, whatever
// happened in between and to whom.
type group struct {
	name    string
	seated  int64
	at, sum int64 // sum: seats × milliseconds, up to at
	members map[*person]struct{}
}

// read is the integral up to now.
func (g *group) read(now int64) int64 {
	g.sum += g.seated * (now - g.at)
	g.at = now
	return g.sum
}

func (g *group) add(now int64, p *person) {
	if g.members == nil {
		g.members = make(map[*person]struct{})
	}
	for other := range g.members {
		p.meets(other)
		other.meets(p)
	}
	g.members[p] = struct{}{}
	g.count(now, p.seated(), +1)
}

func (g *group) remove(now int64, p *person) {
	delete(g.members, p)
	g.count(now, p.seated(), -1)
}

func (g *group) count(now int64, seated bool, change int64) {
	g.read(now)
	if seated {
		g.seated += change
	}
}
