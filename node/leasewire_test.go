package node

import (
	"bytes"
	"reflect"
	"testing"
)

func TestLeaseWire_ReadsWhatItWrites(t *testing.T) {
	r := leaseRequest{term: 3, incarnation: 1 << 40, sequence: 7, floor: 5, items: []leaseItem{{opRenew, 1}, {opTime, -1}}}
	if got, err := decodeLeaseRequest(r.encode()); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("%+v became %+v, error %v", r, got, err)
	}
	a := leaseReply{incarnation: 4, sequence: 9, times: []LeaseTTL{{Granted: 10, Remaining: 3, Found: true}, {}}}
	if got, err := decodeLeaseAnswer(a.encode()); err != nil || !reflect.DeepEqual(got, a) {
		t.Errorf("%+v became %+v, error %v", a, got, err)
	}
}

func FuzzLeaseWire(f *testing.F) {
	r := leaseRequest{term: 3, incarnation: 1, sequence: 7, floor: 5, items: []leaseItem{{opRenew, 1}, {opTime, 2}}}
	a := leaseReply{incarnation: 4, sequence: 9, times: []LeaseTTL{{Granted: 10, Remaining: 3, Found: true}}}
	f.Add(r.encode())
	f.Add(a.encode())
	f.Add([]byte{kindLease})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		if r, err := decodeLeaseRequest(b); err == nil && !bytes.Equal(r.encode()[1:], b[1:]) {
			t.Errorf("%x became %+v", b, r)
		}
		if a, err := decodeLeaseAnswer(b); err == nil && !bytes.Equal(a.encode()[1:], b[1:]) {
			t.Errorf("%x became %+v", b, a)
		}
	})
}
