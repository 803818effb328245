package watch

// The rosters that an interest stands in.
const (
	ofAll = iota
	ofAudience
)

// roster is a list of interests in the order of their addition. Those removed leave nil behind until half the list is.
type roster struct {
	list  []*Interest
	gone  int
	which int // index of the roster's place in Interest.slot
}

func (r *roster) len() int { return len(r.list) - r.gone }

func (r *roster) add(i *Interest) {
	i.slot[r.which] = len(r.list)
	r.list = append(r.list, i)
}

func (r *roster) remove(i *Interest) {
	r.list[i.slot[r.which]] = nil
	if r.gone++; r.gone < 16 || r.gone <= len(r.list)/2 {
		return
	}
	kept := make([]*Interest, 0, r.len())
	for _, i := range r.list {
		if i != nil {
			i.slot[r.which] = len(kept)
			kept = append(kept, i)
		}
	}
	r.list, r.gone = kept, 0
}
