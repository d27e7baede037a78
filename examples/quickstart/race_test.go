//go:build race

package main

// raceFlag builds the program the way these tests are built.
const raceFlag = "-race=true"
