/* SPDX-License-Identifier: Apache-2.0 */
#include "control/secrets.h"

#include "base/log.h"

#include <unistd.h>

static str vault_env_prefix;

void secrets_enable(struct arena *a, const struct settings *s)
{
	vault_env_prefix = STR_NONE;
	for (size_t i = 0; i < s->vault_properties.n; i++) {
		if (str_is(s->vault_properties.v[i].name, "vault_env_prefix"))
			vault_env_prefix = str_copy(a, s->vault_properties.v[i].value);
	}
}

/* All vaults are of the kind env: there is no other. */
static struct env_vault *list_vaults(struct arena *a, const struct config *config)
{
	struct env_vault *vaults = NEWS(a, struct env_vault, config->vaults.n + 1);

	vaults[0] = (struct env_vault){ STR("env"), vault_env_prefix };
	for (size_t i = 0; i < config->vaults.n; i++) {
		const struct vault *v = &config->vaults.v[i];
		const struct value *prefix = value_get(v->config, "prefix");

		vaults[i + 1] = (struct env_vault){
			v->prefix,
			value_is_null(prefix) ? STR_NONE : prefix->s,
		};
	}
	return vaults;
}

str secret_resolve(struct arena *a, const struct config *config, str text)
{
	struct err *e;
	str secret;

	if (!is_vault_reference(text))
		return text;
	e = vault_reference_resolve(a, text, environ, list_vaults(a, config), config->vaults.n + 1,
				    &secret);
	if (!e)
		return secret;
	log_err(LOG_WARN_, e, "the configuration refers to a secret");
	err_forget();
	return STR("");
}

static str look_up(void *config, struct arena *a, str reference)
{
	return secret_resolve(a, config, reference);
}

const struct value *secrets_resolve(struct arena *a, const struct config *config,
				    const struct schema *s, const struct value *doc)
{
	return schema_resolve(a, s, doc, look_up, (void *)(uintptr_t)config);
}
