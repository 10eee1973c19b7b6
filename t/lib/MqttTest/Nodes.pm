package MqttTest::Nodes;

# Copyright (C) ngx_mqtt_module authors

# Several nodes with one Redis.
#
#     my ($one, $two) = two_nodes(%parts_of_write_conf);
#                  both run, and know each other
#
#     nodes_known($one, $two)     waits until each knows all; their number
#     nodes_members($t)          the owners in the index
#     wanted($from, $to, @filters)
#                                waits until $from knows that workers of $to
#                                want the filters
#     unwanted($from, $to, @filters)
#     node_id($t)                the number of the node, as in names of workers
#     inboxes($t, $node)         how many inboxes of a node there are
#     inbox_lengths($t)          frames in all of them
#     polled($t)                 waits until all workers have asked twice
#     commands($t)               calls of each command so far, as a hash

use warnings;
use strict;

use Exporter qw/ import /;

use MqttTest;
use MqttTest::Util qw/ wait_for now /;

our @EXPORT = qw/ two_nodes nodes_known nodes_members wanted unwanted inboxes
                  inbox_lengths commands polled node_id /;


sub two_nodes {
    my (%parts) = @_;

    my $redis = delete $parts{redis};
    my @nodes;

    for (1, 2) {
        my $t = MqttTest->new($redis ? (redis => $redis) : ());

        $t->write_conf(%parts);
        $t->run;

        $redis = $t->redis;
        push @nodes, $t;
    }

    nodes_known(@nodes);

    return @nodes;
}


sub nodes_members {
    my ($t) = @_;

    return $t->redis->command('ZRANGE', 'test:{n}t', 0, -1);
}


# all are in the index, and each has asked for it since

sub nodes_known {
    my (@nodes) = @_;

    my $n = 0;

    $n += $_->worker_pids for @nodes;

    wait_for { @{ nodes_members($nodes[0]) } == $n } or return 0;

    return polled($nodes[0]) ? $n : 0;
}


# Every worker has asked for the index twice: whoever asks again has understood
# the last answer.

sub polled {
    my ($t) = @_;

    my $scores = sub {
        return @{ $t->redis->command('ZRANGE', 'test:{n}t', 0, -1,
                                     'WITHSCORES') };
    };

    for (1, 2) {
        my %since = $scores->();

        wait_for {
            my %now = $scores->();

            !grep { ($now{$_} // 'inf') <= $since{$_} } keys %since;
        } or return 0;
    }

    return 1;
}


sub node_id {
    my ($t) = @_;

    return $t->status->{gateways}{test}{node};
}


# the interest that a filter is told as

sub interest {
    my ($filter) = @_;

    return "s$1" if $filter =~ m{^\$share/(.*)};
    return "w$filter" if $filter =~ /[+#]/;

    return 'g' . ($filter =~ m{^([^/]*)})[0];
}


sub owners_wanting {
    my ($to, $filter) = @_;

    my $node = node_id($to);
    my $redis = $to->redis;

    return grep {
        $redis->command('SISMEMBER', "test:{n}o:$_", interest($filter))
    } grep { /^$node:/ } @{ nodes_members($to) };
}


sub wanted {
    my ($from, $to, @filters) = @_;

    return (wait_for { !grep { !owners_wanting($to, $_) } @filters })
           && polled($from);
}


sub unwanted {
    my ($from, $to, @filters) = @_;

    return (wait_for { !grep { owners_wanting($to, $_) } @filters })
           && polled($from);
}


sub inboxes {
    my ($t, $node) = @_;

    return scalar(() = $t->redis->keys("test:{w:$node:*}i"));
}


sub inbox_lengths {
    my ($t) = @_;

    my $n = 0;

    $n += $t->redis->command('XLEN', $_) for $t->redis->keys('test:{w:*}i');

    return $n;
}


sub commands {
    my ($t) = @_;

    my %info = $t->redis->info('commandstats');

    return map {
        my ($name) = /^cmdstat_(.*)/;
        my ($calls) = $info{$_} =~ /calls=(\d+)/;

        defined $name ? ($name => $calls) : ();
    } keys %info;
}


1;
