
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Permissions of credentials.  The invariants are in ngx_mqtt_grant.h.
 *
 * Called from: the methods of auth (create), client/ (check, free).
 */


#include "ngx_mqtt_grant.h"
#include "ngx_mqtt_term.h"


const char *
ngx_mqtt_grant_parse_rule(ngx_str_t *word, ngx_mqtt_grant_rule_t *rule)
{
    u_char  *p, *last;

    p = word->data;
    last = p + word->len;

    rule->actions = 0;

    for ( /* void */ ; p < last && *p != ':'; p++) {

        if (*p == 'R' && !(rule->actions & NGX_MQTT_GRANT_READ)) {
            rule->actions |= NGX_MQTT_GRANT_READ;

        } else if (*p == 'W' && !(rule->actions & NGX_MQTT_GRANT_WRITE)) {
            rule->actions |= NGX_MQTT_GRANT_WRITE;

        } else {
            return "a permission that does not begin with R:, W: or RW:";
        }
    }

    if (p == last || rule->actions == 0) {
        return "a permission that does not begin with R:, W: or RW:";
    }

    rule->filter.data = p + 1;
    rule->filter.len = last - rule->filter.data;

    if (ngx_mqtt_utf8_check(&rule->filter) != NGX_OK
        || ngx_mqtt_topic_filter_check(&rule->filter, NULL) != NGX_OK)
    {
        return "a permission with an invalid topic filter";
    }

    return NULL;
}


const char *
ngx_mqtt_grant_parse(ngx_str_t *text, ngx_array_t *rules)
{
    u_char                 *p, *last;
    ngx_str_t               word;
    const char             *error;
    ngx_mqtt_grant_rule_t  *rule;

    p = text->data;
    last = p + text->len;

    for ( ;; ) {

        while (p < last && (*p == ' ' || *p == '\t')) {
            p++;
        }

        if (p == last) {
            return NULL;
        }

        word.data = p;

        while (p < last && *p != ' ' && *p != '\t') {
            p++;
        }

        word.len = p - word.data;

        rule = ngx_array_push(rules);
        if (rule == NULL) {
            return "no memory";
        }

        error = ngx_mqtt_grant_parse_rule(&word, rule);

        if (error) {
            return error;
        }
    }
}


ngx_mqtt_grant_t *
ngx_mqtt_grant_create(ngx_mqtt_worker_t *w, ngx_mqtt_grant_rule_t *rules,
    ngx_uint_t nrules)
{
    u_char            *p;
    size_t             size;
    ngx_uint_t         i;
    ngx_mqtt_grant_t  *grant;

    size = sizeof(ngx_mqtt_grant_t) + nrules * sizeof(ngx_mqtt_grant_rule_t);

    for (i = 0; i < nrules; i++) {
        size += rules[i].filter.len;
    }

    grant = ngx_mqtt_alloc(w, size);
    if (grant == NULL) {
        return NULL;
    }

    grant->next = NULL;
    grant->term = NULL;
    grant->nrules = nrules;
    grant->rules = (ngx_mqtt_grant_rule_t *) &grant[1];
    grant->size = size;
    grant->all = (nrules == 0);

    p = (u_char *) &grant->rules[nrules];

    for (i = 0; i < nrules; i++) {
        grant->rules[i].actions = rules[i].actions;
        grant->rules[i].filter.data = p;
        grant->rules[i].filter.len = rules[i].filter.len;

        p = ngx_cpymem(p, rules[i].filter.data, rules[i].filter.len);
    }

    return grant;
}


void
ngx_mqtt_grant_free(ngx_mqtt_worker_t *w, ngx_mqtt_grant_t *grant)
{
    ngx_mqtt_grant_t  *next;

    for ( /* void */ ; grant; grant = next) {
        next = grant->next;

        if (grant->term) {
            ngx_mqtt_term_free(w, grant->term);
        }

        if (grant->size) {
            ngx_mqtt_free(w, grant, grant->size);
        }
    }
}


ngx_int_t
ngx_mqtt_grant_publish(ngx_mqtt_grant_t *grants, ngx_str_t *topic)
{
    ngx_uint_t              i;
    ngx_mqtt_grant_t       *grant;
    ngx_mqtt_grant_rule_t  *rule;

    if (grants == NULL) {
        return NGX_OK;
    }

    for (grant = grants; grant; grant = grant->next) {

        if (grant->all) {
            return NGX_OK;
        }

        for (i = 0; i < grant->nrules; i++) {
            rule = &grant->rules[i];

            if ((rule->actions & NGX_MQTT_GRANT_WRITE)
                && ngx_mqtt_topic_match(&rule->filter, topic))
            {
                return NGX_OK;
            }
        }
    }

    return NGX_DECLINED;
}


ngx_int_t
ngx_mqtt_grant_subscribe(ngx_mqtt_grant_t *grants, ngx_str_t *filter)
{
    ngx_uint_t              i;
    ngx_mqtt_grant_t       *grant;
    ngx_mqtt_grant_rule_t  *rule;

    if (grants == NULL) {
        return NGX_OK;
    }

    for (grant = grants; grant; grant = grant->next) {

        if (grant->all) {
            return NGX_OK;
        }

        for (i = 0; i < grant->nrules; i++) {
            rule = &grant->rules[i];

            if ((rule->actions & NGX_MQTT_GRANT_READ)
                && ngx_mqtt_topic_covers(&rule->filter, filter))
            {
                return NGX_OK;
            }
        }
    }

    return NGX_DECLINED;
}
