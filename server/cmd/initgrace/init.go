package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

//go:embed template
var template embed.FS

// initiate writes a study to start from.
type initiate struct {
	Dir string `arg:"" placeholder:"DIR" help:"Folder for the study; it is made if there is none."`
}

func (i initiate) Run(c console) error {
	files, err := fs.ReadDir(template, "template")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(i.Dir, 0o755); err != nil {
		return err
	}
	for _, f := range files { // all or nothing
		path := filepath.Join(i.Dir, f.Name())
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("%s is there already, and nothing was written: choose another folder", path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, f := range files {
		text, err := template.ReadFile("template/" + f.Name())
		if err == nil {
			err = create(filepath.Join(i.Dir, f.Name()), text)
		}
		if err != nil {
			return err
		}
		fmt.Fprintln(c.stdout, filepath.Join(i.Dir, f.Name()))
	}
	fmt.Fprintf(c.stdout, "\nNext: initgrace serve --site %s\n", i.Dir)
	return nil
}

// create writes a file that must not exist yet.
func create(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}
