package node

import (
	"errors"
	"fmt"

	"github.com/detcd/detcd/statemachine/format"
)

// ErrOutdated is what errors.Is finds where a member can't go on because its build does not read the format version that its cluster has come to. Nothing on
// its disks is wrong.
var ErrOutdated = errors.New("this build is too old for the cluster")

// outdatedError says which format version was found, and what to do.
func (m *Member) outdatedError(what string, version format.Version) error {
	return fmt.Errorf("%w: %s is of format version %d, and this build reads up to version %d. The cluster has gone on to that version since all of its members could read it, "+
		"and it does not go back. Start a newer build of detcd on this data directory; nothing in it was changed", ErrOutdated, what, version, m.config.KnownFormat)
}

// unreadable ends the member at a committed entry that it can't read: it is of a later format version. Any other reason is a bug.
func (m *Member) unreadable(index, term uint64, err error) {
	var newer *format.NewerError
	if !errors.As(err, &newer) {
		panic(fmt.Sprintf("node: committed entry %d of term %d can't be read: %v", index, term, err))
	}
	m.halt(m.outdatedError(fmt.Sprintf("entry %d", index), newer.Version))
}
