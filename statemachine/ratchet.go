package statemachine

import "github.com/detcd/detcd/statemachine/format"

// Format is the cluster's format version. What an entry means depends on it, never on what the software that applies it knows.
func (m *Machine) Format() format.Version { return m.format }

// Format is the machine's as of this view.
func (v *View) Format() format.Version { return v.format }

// admitsFormat says whether the cluster's format version allows an envelope: what came with a later version has no effect before the raise to it. A
// raise is the first of its own version, and one to a version that is there already has no effect.
func (m *Machine) admitsFormat(e *Envelope) bool {
	if e.Raise != 0 {
		return e.Raise > m.format
	}
	return e.version <= m.format
}

// raise makes a version the cluster's.
func (m *Machine) raise(to format.Version) { m.format = to }
