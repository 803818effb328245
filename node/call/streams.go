package call

import pb "go.etcd.io/etcd/api/v3/etcdserverpb"

// Streams that go on for as long as their clients like. What a watch means is package watch's; each message of a keep-alive stream is a LeaseKeepAlive.
var (
	WatchStream     = Stream{Method: pb.Watch_Watch_FullMethodName}
	KeepAliveStream = Stream{Method: pb.Lease_LeaseKeepAlive_FullMethodName}
)
