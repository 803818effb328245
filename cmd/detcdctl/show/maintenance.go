package show

import (
	"fmt"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Alarm lists alarms. The simple form is the text form of protobuf with its spaces set: protobuf's own varies from one build to the next.
func Alarm(r *clientv3.AlarmResponse) Answer {
	message := (*pb.AlarmResponse)(r)
	return Answer{
		message: message,
		simple: func(w *simpleWriter) {
			for _, a := range message.GetAlarms() {
				var parts []string
				if a.GetMemberID() != 0 {
					parts = append(parts, fmt.Sprintf("memberID:%d", a.GetMemberID()))
				}
				if a.GetAlarm() != pb.AlarmType_NONE {
					parts = append(parts, "alarm:"+a.GetAlarm().String())
				}
				w.line(strings.Join(parts, " "))
			}
		},
		fields: func(w *fieldsWriter) {
			w.header(message.GetHeader())
			for _, a := range message.GetAlarms() {
				w.id("MemberID", a.GetMemberID())
				w.value("AlarmType", a.GetAlarm())
				w.WriteByte('\n')
			}
		},
	}
}

// MoveLeader shows that another member leads.
func MoveLeader(from, to uint64, r *clientv3.MoveLeaderResponse) Answer {
	return Answer{
		message: (*pb.MoveLeaderResponse)(r),
		simple:  text("Leadership transferred from %x to %x", from, to),
	}
}

// Downgrade shows that an action on a downgrade (validate, enable, cancel) went well.
func Downgrade(action string, r *clientv3.DowngradeResponse) Answer {
	message := (*pb.DowngradeResponse)(r)
	return Answer{
		message: message,
		simple:  text("Downgrade %s success, cluster version %s", action, message.GetVersion()),
	}
}
