package driver

import "context"

// Renew gives a lease its whole time again, and returns its TTL in seconds; 0: there is no such lease any more. The leader decides,
// wherever it is. Errors are those of node's Renew, and ctx's: then the lease may have been renewed or not.
func (d *Driver) Renew(ctx context.Context, id int64) (ttl int64, err error) {
	a := d.askLease(ctx, callRenew, id)
	return a.ttl.Remaining, a.err
}

// TimeToLive asks the leader how long a lease has to live. Errors are those of node's TimeToLive, and ctx's.
func (d *Driver) TimeToLive(ctx context.Context, id int64) (LeaseTTL, error) {
	a := d.askLease(ctx, callTimeToLive, id)
	return a.ttl, a.err
}

func (d *Driver) askLease(ctx context.Context, kind callKind, id int64) answer {
	if err := ctx.Err(); err != nil {
		return answer{err: err}
	}
	c := newCall(d, kind)
	c.lease = id
	return c.wait(ctx)
}
