package main

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
)

// All commands take flags in one form, like the reference: --name=value. Kong would also take
// "--name value". But package config parses some boolean flags, which are text for kong; such a
// flag would take the data file for its value. So normalize passes only --name=value to kong. It
// refuses a flag without its value, and adds the value to a boolean one.

// boolPlaceHolder marks a boolean flag that is text for kong, because package config parses it.
const boolPlaceHolder = "BOOL"

// isBool tells whether a flag without a value means true.
func isBool(flag *kong.Flag) bool { return flag.IsBool() || flag.PlaceHolder == boolPlaceHolder }

// flagsOf returns the flags that arguments may have, and the name of their command, or "" if no
// command is known.
func flagsOf(model *kong.Application, arguments []string) (flags []*kong.Flag, command string) {
	flags = append(flags, model.Flags...)
	for _, argument := range arguments {
		if strings.HasPrefix(argument, "-") {
			continue
		}
		for _, child := range model.Children {
			if child.Name == argument {
				return append(flags, child.Flags...), child.Name
			}
		}
		break
	}
	return flags, ""
}

// flagNamed returns the flag of that name, or nil.
func flagNamed(flags []*kong.Flag, name string) *kong.Flag {
	for _, flag := range flags {
		if flag.Name == name {
			return flag
		}
		for _, alias := range flag.Aliases {
			if alias == name {
				return flag
			}
		}
	}
	return nil
}

// normalize writes every flag as --name=value.
//
// error: a flag that is not known, is given twice (under whatever name), or lacks its value.
func normalize(model *kong.Application, arguments []string) ([]string, error) {
	flags, command := flagsOf(model, arguments)
	seen := map[*kong.Flag]bool{}
	normal := make([]string, 0, len(arguments))
	for i, argument := range arguments {
		if argument == "--" { // no flags behind it
			return append(normal, arguments[i:]...), nil
		}
		text, isLong := strings.CutPrefix(argument, "--")
		if !isLong {
			normal = append(normal, argument)
			continue
		}
		name, _, hasValue := strings.Cut(text, "=")
		flag := flagNamed(flags, name)
		switch {
		case flag == nil && command == "":
			// Kong reports what is wrong with the command.
		case flag == nil:
			return nil, fmt.Errorf("%s: there is no such flag: ledger %s --help lists them", argument, command)
		case seen[flag]:
			return nil, fmt.Errorf("%s: is given twice", argument)
		case !hasValue && flag.Name == "help":
		case !hasValue && isBool(flag):
			argument += "=true"
		case !hasValue:
			return nil, fmt.Errorf("%s: has no value: write it behind an equals sign, as in --%s=%s", argument, name, flag.FormatPlaceHolder())
		}
		if flag != nil {
			seen[flag] = true
		}
		normal = append(normal, argument)
	}
	return normal, nil
}

// refusal turns kong's error about a value into one of ours, which repeats the value and tells the
// right form.
func refusal(model *kong.Application, arguments []string, err error) error {
	name, _, isFlag := strings.Cut(err.Error(), ": ")
	if !isFlag || !strings.HasPrefix(name, "--") {
		return err
	}
	flags, _ := flagsOf(model, arguments)
	flag := flagNamed(flags, strings.TrimPrefix(name, "--"))
	if flag == nil {
		return err
	}
	for _, argument := range arguments {
		written, _, hasValue := strings.Cut(strings.TrimPrefix(argument, "--"), "=")
		if hasValue && flagNamed(flags, written) == flag {
			return errors.New(argument + ": must be " + wanted(flag))
		}
	}
	return err
}

// wanted describes the values that kong takes for a flag.
func wanted(flag *kong.Flag) string {
	switch kind := flag.Target.Kind(); {
	case flag.IsBool():
		return "true or false"
	case kind == reflect.Uint64:
		return "a whole number of 0 to 2^64-1"
	case kind == reflect.Uint32:
		return "a whole number of 0 to 2^32-1"
	case kind == reflect.Int64:
		return "a time with its unit, as in 5s"
	case kind == reflect.Float64:
		return "a number, as in 1000"
	}
	return "a text"
}
