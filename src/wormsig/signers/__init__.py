"""Those who sign: a software key in an encrypted file, a Core wallet; one Protocol (`protocol.Signer`) for all.

A signer takes an `Approved` and nothing else, so nothing is signed that was not reviewed. What a signer needs of a
node is handed to it. Secrets stand only in `secret.SecretKey` and in what `software` derives from it; neither has a
telling `repr`. Reading options, asking for passphrases and writing files is `app`'s part.
"""
