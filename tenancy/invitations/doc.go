// Package invitations
package invitations
