package driver

import (
	"fmt"
	"runtime/debug"
)

// Bug is what Failed delivers when the member's code has found itself in a state that can't be, and panicked. The member takes no further turn:
// nothing it might do could be trusted. What it acknowledged is as safe as after a crash.
type Bug struct {
	// Panic is what the code said, Stack where.
	Panic any
	Stack []byte
}

// Error says what happened and what to do.
func (b *Bug) Error() string {
	return fmt.Sprintf("a bug in detcd, or data that makes no sense to it: %v. What was acknowledged is on the disk; start the member again. If it ends like this "+
		"again, leave its data directory as it is, and report this line", b.Panic)
}

// caught is deferred around a turn, and around work in a lane: a panic ends the member and not the process, so that the user is told what
// happened and what to do. then cleans up.
func (d *Driver) caught(then func()) {
	p := recover()
	if p == nil {
		return
	}
	d.Fail(&Bug{Panic: p, Stack: debug.Stack()})
	then()
}

// giveUp ends the turns after a panic. Of items, the first was being handled, and the others never are.
func (d *Driver) giveUp(items []item) {
	d.finished = true
	for i := range items {
		if i > 0 && items[i].kind == itemCall {
			items[i].call.refuse()
		}
	}
}
