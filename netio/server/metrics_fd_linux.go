package server

import (
	"os"

	"github.com/prometheus/client_golang/prometheus"
)

// descriptorMetrics are the numbers of file descriptors that alerts watch. (process_open_fds and process_max_fds say the same.)
func descriptorMetrics() []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "os_fd_used", Help: "The number of used file descriptors."}, func() float64 {
			d, err := os.Open("/proc/self/fd")
			if err != nil {
				return 0
			}
			defer d.Close()
			names, _ := d.Readdirnames(-1) // after an error, the names that could be read count
			return float64(len(names))
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "os_fd_limit", Help: "The file descriptor limit."}, func() float64 {
			limit, _ := descriptorLimit()
			return float64(limit)
		}),
	}
}
