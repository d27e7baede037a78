package invitations

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/uptrace/bun"
)

// KindInvitation is the Kind of a Message of this package.
const KindInvitation = "invitation"

// Message is what the person invited is to be told, in the host's own words.
type Message struct {
	// Kind is KindInvitation: one function of the host may send other messages too.
	Kind string
	// To is the address invited.
	To string
	// Locale is the language that the inviter asked for, as a tag of BCP 47; maybe "".
	Locale string
	// AccountName is the account's own choice: show it as text.
	AccountName string
	Invitation  Invitation
	Token       Token
}

// notifyFor is how long Config.Notify may take.
const notifyFor = 30 * time.Second

// notify hands the token to the host. It reports whether that went well: the
// invitation is there either way, and can be sent again. What a mail server says
// often has the address in it, so the host logs that, if it wants to.
func (n *Invitations) notify(ctx context.Context, db *bun.DB, issued Issued, locale string) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), notifyFor)
	defer cancel()
	account, err := n.accounts.Get(ctx, db, issued.Invitation.Account)
	if err == nil {
		err = n.cfg.Notify(ctx, Message{
			Kind: KindInvitation, To: issued.Invitation.Email, Locale: locale, AccountName: account.Name,
			Invitation: issued.Invitation, Token: issued.Token,
		})
	}
	if err != nil {
		slog.WarnContext(ctx, "quitrent: an invitation was not sent", "account", issued.Invitation.Account, "invitation", issued.Invitation.ID, "err", fmt.Sprintf("%T", err))
	}
	return err == nil
}
