package driver

import "github.com/detcd/detcd/node/watch"

var _ watch.Port = (*Driver)(nil)

// AcquireView implements watch.Port: View under the name that it has there.
func (d *Driver) AcquireView() *View { return d.View() }

// Attach implements watch.Port. It never blocks; attachments and detachments reach the member in the order in which they were asked for,
// and after its end they do nothing.
func (d *Driver) Attach(i *watch.Interest, from int64) {
	d.inbox.push(item{kind: itemDone, fn: func() { d.member.Watch().Attach(i, from) }})
}

// Detach implements watch.Port, as Attach does.
func (d *Driver) Detach(i *watch.Interest) {
	d.inbox.push(item{kind: itemDone, fn: func() { d.member.Watch().Detach(i) }})
}
