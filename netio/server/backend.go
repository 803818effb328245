package server

import (
	"fmt"

	"github.com/detcd/detcd/netio/door"
	"github.com/detcd/detcd/netio/driver"
	"github.com/detcd/detcd/node/port"
)

// The driver is the member as the doors see it.
var _ door.Backend = (*driver.Driver)(nil)

// id writes a member's id as etcd does.
func id(m port.MemberID) string { return fmt.Sprintf("%x", uint64(m)) }
