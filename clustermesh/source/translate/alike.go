package translate

import "tombolo.io/tombolo/clustermesh/source"

// One makes a translator to one noun like those to several.
func One[O, N any](translate func(*O) (*N, error)) func(*O) ([]source.Object, error) {
	return func(o *O) ([]source.Object, error) {
		n, err := translate(o)
		if err != nil {
			return nil, err
		}
		return []source.Object{n}, nil
	}
}

// Many makes a translator to several nouns of one type like those of others.
func Many[O, N any](translate func(*O) ([]*N, error)) func(*O) ([]source.Object, error) {
	return func(o *O) ([]source.Object, error) {
		all, err := translate(o)
		var out []source.Object
		for _, n := range all {
			out = append(out, n)
		}
		return out, err
	}
}
