package invitations

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/quitrent/quitrent/internal/opaque"
)

func TestToken_IsShownByStringConversionAlone(t *testing.T) {
	token := Token(opaque.New())
	text, err := json.Marshal(map[string]any{"a": token, "b": Issued{Token: token}, "c": Accept{Token: token}, "d": Message{Token: token}})
	said := string(text) + fmt.Sprint(token, token.LogValue(), Issued{Token: token}.LogValue()) + fmt.Sprintf("%v%s%q%x%d%#v", token, token, token, token, token, token) + token.String()
	if strings.Contains(said, string(token)) || strings.Contains(said, fmt.Sprintf("%x", string(token))) || err != nil {
		t.Errorf("%s, %v", said, err)
	}
}
