package disk

import "time"

const shortagePause = 10 * time.Millisecond

// shortagePatience is how long a descriptor is waited for. Only tests change it.
var shortagePatience = 10 * time.Second

// patiently tries something that takes a descriptor. A process or a system that has none left is no broken disk, and may have one again in a
// moment; nothing has been done to the disk then, so that it is safe to try again.
func (d *FileDisk) patiently(path string, try func() error) error {
	began := time.Now()
	for told := false; ; told = true {
		err := try()
		if err == nil || !isShortage(err) || time.Since(began) > shortagePatience {
			return err
		}
		if !told && d.observeShortage != nil {
			d.observeShortage(path, err)
		}
		time.Sleep(shortagePause)
	}
}

// patientlyOpen is patiently for what yields something.
func patientlyOpen[T any](d *FileDisk, path string, open func() (T, error)) (opened T, err error) {
	err = d.patiently(path, func() (err error) {
		opened, err = open()
		return err
	})
	return opened, err
}
