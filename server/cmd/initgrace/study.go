package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"initgrace/server/study"
)

// readStudy reads the study file that a flag names, or the one in the site's
// folder, which need not be there.
func readStudy(flag, path, site string) (*study.Study, error) {
	optional := path == ""
	if optional {
		if site == "" {
			return nil, nil
		}
		flag, path = "--site", filepath.Join(site, study.FileName)
	}
	s, err := study.Read(path)
	switch {
	case optional && errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return s, nil
}

// schema prints what an editor needs to help with a study file.
type schema struct{}

func (schema) Run(c console) error {
	_, err := c.stdout.Write(study.Schema())
	return err
}
