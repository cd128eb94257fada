/* Values that one resource sends and another receives while the graph runs. */
#include <string.h>

#include "engine/engine-private.h"

/* What the sender's last successful round sent under that name; NULL: nothing. */
static const Value *find_sent(const Engine *engine, const Receive *receive) {
    int found = graph_find(engine->graph, receive->kind, receive->name);
    if (found < 0)
        return NULL;
    const Vertex *sender = engine->vertices[graph_leader(engine->graph, (unsigned)found)];
    for (unsigned i = 0; sender->outputs && i < sender->n_members; i++)
        if (strcmp(sender->members[i]->name, receive->name) == 0 && sender->outputs[i])
            return value_map_get(sender->outputs[i], receive->output);
    return NULL;
}

static bool fill_in(Engine *engine, Resource *resource, const Receive *receive, GError **error) {
    const Param *param = &resource->kind->params[receive->param];
    const Value *sent = find_sent(engine, receive);
    if (value_type(sent) == VALUE_UNKNOWN)
        return true; /* plan: left unset, see receive_unknown() */
    if (!sent) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "receive '%s': %s '%s' sent no '%s'",
                    param->name, receive->kind, receive->name, receive->output);
        return false;
    }
    g_autoptr(Value) value = param_convert(param, sent, error);
    if (!value) {
        g_prefix_error(error, "receive '%s' from %s '%s': ", param->name, receive->kind,
                       receive->name);
        return false;
    }
    resource_put(resource, receive->param, g_steal_pointer(&value));
    return true;
}

static bool receive_member(Vertex *vertex, unsigned i, bool *changed, GError **error) {
    const Resource *declared = vertex->members[i];
    g_autoptr(Resource) filled = resource_copy(declared);
    bool known = true;
    for (unsigned j = 0; j < declared->receives->len; j++) {
        const Receive *receive = &g_array_index(declared->receives, Receive, j);
        if (!fill_in(vertex->engine, filled, receive, error))
            return false;
        known &= resource_get(filled, receive->param) != NULL;
    }
    if (!vertex->received)
        vertex->received = g_new0(Resource *, vertex->n_members);
    if (vertex->received[i] && resource_equal(vertex->received[i], filled))
        return true;
    const Kind *kind = declared->kind;
    if (known && kind->validate && !kind->validate(filled, error)) {
        g_prefix_error(error, "check received values: ");
        return false;
    }
    resource_unref(vertex->received[i]);
    vertex->received[i] = g_steal_pointer(&filled);
    *changed = true;
    return true;
}

bool receive_values(Vertex *vertex, bool *ret_changed, GError **error) {
    for (unsigned i = 0; i < vertex->n_members; i++)
        if (resource_has_receives(vertex->members[i]) &&
            !receive_member(vertex, i, ret_changed, error))
            return false;
    return true;
}

Value *receive_unknown(const Vertex *vertex, unsigned member) {
    const Resource *resource = vertex->members[member];
    if (!resource_has_receives(resource))
        return NULL;
    Value *unknown = NULL;
    for (unsigned j = 0; j < resource->receives->len; j++) {
        const Receive *receive = &g_array_index(resource->receives, Receive, j);
        if (value_type(find_sent(vertex->engine, receive)) != VALUE_UNKNOWN)
            continue;
        if (!unknown)
            unknown = value_new_list();
        value_list_append(unknown, value_new_int(receive->param));
    }
    return unknown;
}

/* Marks those dirty that receive from member: their next round takes the new value. */
static void wake_receivers(Vertex *vertex) {
    const Graph *graph = vertex->engine->graph;
    unsigned n;
    const unsigned *out = graph_edges_out(graph, vertex->index, &n);
    for (unsigned i = 0; i < n; i++) {
        const Edge *edge = graph_edge(graph, out[i]);
        Vertex *receiver = vertex->engine->vertices[edge->to];
        if ((edge->flags & EDGE_SEND) && !receiver->dirty)
            vertex_event(receiver, VERTEX_EVENT_CHANGE);
    }
}

/* A plan does not run commands: what they would send is unknown. */
static Value *predicted_outputs(const RoundMember *member, bool ran) {
    const Kind *kind = member->run.resource->kind;
    Value *outputs = value_new_map();
    for (unsigned i = 0; i < kind->n_outputs; i++) {
        const char *name = kind->outputs[i].name;
        const Value *sent = member->run.outputs ? value_map_get(member->run.outputs, name) : NULL;
        if (sent)
            value_map_set(outputs, name, value_ref(sent));
        else if (ran)
            value_map_set(outputs, name, value_new_unknown());
    }
    return outputs;
}

void receive_sent(Vertex *vertex, Round *round) {
    bool differs = false;
    for (unsigned i = 0; i < round->n_members; i++) {
        RoundMember *member = &round->members[i];
        const Kind *kind = member->run.resource->kind;
        if (kind->n_outputs == 0)
            return;
        g_autoptr(Value) sent = NULL;
        if (vertex->engine->planning)
            sent = predicted_outputs(member, !changes_empty(member->changes));
        else if (member->run.outputs)
            sent = value_ref(member->run.outputs);
        if (!sent) /* nothing new: what was sent before stays valid */
            continue;
        if (!vertex->outputs)
            vertex->outputs = g_new0(Value *, vertex->n_members);
        differs |= !value_equal(vertex->outputs[i], sent);
        value_unref(vertex->outputs[i]);
        vertex->outputs[i] = g_steal_pointer(&sent);
    }
    if (differs)
        wake_receivers(vertex);
}
