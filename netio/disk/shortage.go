package disk

import "time"

const shortagePause = 10 * time.Millisecond

// shortagePatience is how long to wait for a descriptor. Only tests change it.
var shortagePatience = 10 * time.Second

// patiently tries something that needs a descriptor, and waits while there is none left. That is no fault of the disk, and there may be one again in
// a moment. Trying again is safe: without a descriptor nothing was done to the disk.
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

// patientlyOpen is patiently for a function that returns something.
func patientlyOpen[T any](d *FileDisk, path string, open func() (T, error)) (opened T, err error) {
	err = d.patiently(path, func() (err error) {
		opened, err = open()
		return err
	})
	return opened, err
}
