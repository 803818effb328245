package server

import (
	"errors"
	"fmt"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/wal"
)

// lived says whether a member has run in this data directory. detcd 0.1.0 did not write that down: in its directories, a member with an identity has run.
func (s *Server) lived() bool { return s.dir.Lived() || s.known && s.dir.Early() }

// restore says what to do when data is gone.
const restore = "put back a copy of both directories that was made while the member was stopped. " +
	"This version can't rebuild a member from its peers or from a snapshot of the keys yet: member changes and backups come with a later one. " +
	"Do not start it with empty directories: its cluster relies on what it had acknowledged"

// waysOn adds what the operator can do to the error of a member that refuses to start. The node that refuses knows its files, but not where they are.
func (s *Server) waysOn(err error) error {
	dirs := fmt.Sprintf("log in %s, snapshots in %s; nothing was changed", s.dir.WAL().Dir(), s.dir.Snapshots().Dir())
	switch {
	case errors.Is(err, node.ErrLogMissing):
		was := s.dir.LogWas()
		if was == "" {
			was = "the same place"
		}
		return fmt.Errorf("%w (%s). When the member last ran, its log was in %s. If that is on a disk of its own, mount it; if the log was moved, "+
			"start with the --wal-dir where it is now; if it is lost, %s", err, dirs, was, restore)
	case errors.Is(err, wal.ErrCorrupt):
		return fmt.Errorf("%w (%s). The disk, or who copied these files, can't be trusted. If the right files are elsewhere, put them in place; else %s", err, dirs, restore)
	case errors.Is(err, wal.ErrIdentity):
		return fmt.Errorf("%w (%s). Start with the --data-dir and --wal-dir that belong together", err, dirs)
	case errors.Is(err, port.ErrNoSpace):
		return fmt.Errorf("%w. The disk is full: make room on it, or give a --data-dir or --wal-dir on a larger one", err)
	}
	return err
}
