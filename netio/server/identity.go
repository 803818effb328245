package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/detcd/detcd/netio/disk"
	"github.com/detcd/detcd/node/port"
)

// The flags say who a member is only when it starts for the first time, as with etcd. Later its data says so. That is why the identity is kept beside
// the data, in DIR/IDENTITY. The log holds it as well, and refuses to be opened by another member.
const (
	identityName = "IDENTITY"
	identityText = "cluster %x\nmember %x\n"
)

// readIdentity returns which member the data directory belongs to. ok is false if no member has used it yet.
func readIdentity(dir *disk.Dir) (self port.MemberID, cluster uint64, ok bool, err error) {
	path := filepath.Join(dir.Path(), identityName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, 0, false, nil
	}
	if err != nil {
		return 0, 0, false, err
	}
	if _, err := fmt.Sscanf(string(text), identityText, &cluster, &self); err != nil || self == 0 || cluster == 0 {
		return 0, 0, false, fmt.Errorf("%s is not what was written there: %q; remove it, and start with the flags that this member had at its first start: "+
			"its log says whose it is, and refuses all others", path, text)
	}
	return self, cluster, true, nil
}

// writeIdentity makes the file durable, as a whole or not at all. It is called once the log is open, as the log knows whose it is: if this file was
// lost, the flags may be wrong. If a first start ends before that, the next start makes everything again in the same way.
func writeIdentity(dir *disk.Dir, self port.MemberID, cluster uint64) error {
	path := filepath.Join(dir.Path(), identityName)
	f, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, identityText, cluster, uint64(self))
	if err == nil {
		err = f.Sync()
	}
	if err2 := f.Close(); err == nil {
		err = err2
	}
	if err == nil {
		err = os.Rename(path+".tmp", path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	parent, err := os.Open(dir.Path())
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}
