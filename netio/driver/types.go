package driver

import (
	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/statemachine"
)

// The member's vocabulary, as the doors see it through a driver.
type (
	// Applied is the answer to a proposal that was applied.
	Applied = node.Applied
	// Status is what a member says of itself.
	Status = node.Status
	// LeaseTTL is what the leader says of a lease.
	LeaseTTL = node.LeaseTTL
	// View is a state to read from.
	View = statemachine.View
)

// ErrStopped is the answer to calls that are under way when the member stops, or come after: their outcome is unknown.
var ErrStopped = node.ErrStopped

var _ Driven = (*node.Member)(nil)
