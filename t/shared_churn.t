#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Members of two shared subscriptions come, go and hang while messages are
# published: as long as one member of each stays, none is lost, and only what a
# member had when it left comes twice.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Workers;
use Test::More tests => 2 * 3 + 2;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(workers => 3, servers => spread_server(<<'END'));
        mqtt_send_window 5;
        mqtt_max_queued 100000;
        mqtt_max_queued_size 64m;
END
$t->run;

my $seed = $ENV{TEST_MQTT_SEED} // time;
srand $seed;
note("TEST_MQTT_SEED=$seed");

my @workers = $t->worker_pids;
my @groups = ('g', 'h');

my @publishers = map { client_on($t, $_) } @workers;
my (@members, %seen, %owed, %acked);
my $n = 0;

# those that stay, and those that hang until they leave

for my $group (@groups) {
    join_group($workers[rand @workers], $group)->{stays} = 1;

    my $c = join_group($workers[rand @workers], $group);

    $c->{hangs} = 1;
    $c->{auto_ack} = 0;
}

for my $step (1 .. 150) {
    my @going = grep { !$_->{stays} && !$_->{hangs} } @members;
    my $c = $going[rand @going];
    my $action = rand;

    if ($action < 0.25 || !$c) {
        join_group($workers[rand @workers], $groups[rand @groups])
            if @members < 12;

    } elsif ($action < 0.4) {
        $c->{auto_ack} = 1 - $c->{auto_ack};

    } elsif ($action < 0.5) {
        $c->unsubscribe("\$share/$c->{group}/#");
        $c->{unsubscribed} = 1;

    } elsif ($action < 0.6) {
        leave($c);
    }

    for (1 .. 10) {
        my $p = $publishers[rand @publishers];
        my $id = $p->next_id;

        $p->{payloads}{$id} = ++$n;
        $p->queue(PUBLISH => topic => 'a/' . $n % 7, payload => $n, qos => 1,
                  packet_id => $id);
    }

    pump(sub { !grep { %{ $_->{payloads} || {} } } @publishers });
}

is(scalar(keys %acked), $n, 'all are acknowledged');

# all but those that stay leave

my @leaving = grep { !$_->{stays} } @members;

leave($_) for @leaving;

pump(sub {
    !grep { my $g = $_; grep { !$seen{$g}{$_} } keys %acked } @groups;
});

for my $group (@groups) {
    my $seen = $seen{$group};

    is_deeply([ grep { !$seen->{$_} } sort { $a <=> $b } keys %acked ], [],
              "$group: none is lost");
    is_deeply([ grep { $seen->{$_} > 1 && !$owed{$group}{$_} }
                sort { $a <=> $b } keys %$seen ], [],
              "$group: none comes twice that was not owed");
    cmp_ok(scalar(grep { $_ > 1 } values %$seen), '>', 0,
           "$group: some were");
}

is($t->total('messages_out_dropped'), 0, 'none is dropped');

###############################################################################

sub join_group {
    my ($worker, $group) = @_;

    my $c = client_on($t, $worker);

    $c->subscribe("\$share/$group/#" => 1);
    $c->{group} = $group;
    push @members, $c;

    return $c;
}


# What it has not acknowledged comes again; what it has acknowledged last may,
# if it goes before that is read.

sub leave {
    my ($c) = @_;

    $owed{$c->{group}}{$_}++ for @{ $c->{unacked} || [] },
                                 @{ $c->{last} || [] };

    @members = grep { $_ != $c } @members;

    rand() < 0.5 ? $c->close : $c->disconnect;
}


sub pump {
    my ($until) = @_;

    MqttTest::Client->pump([ @publishers, @members ], timeout => 30,
        until => $until,
        on_packet => sub {
            my ($c, $p) = @_;

            if ($p->{type} eq 'PUBLISH') {
                $seen{$c->{group}}{$p->{payload}}++;

                push @{ $c->{$p->{acknowledged} ? 'last' : 'unacked'} },
                     $p->{payload};
                shift @{ $c->{last} } if @{ $c->{last} || [] } > 20;

            } elsif ($p->{type} eq 'PUBACK') {
                $acked{delete $c->{payloads}{$p->{packet_id}}} = 1;
            }
        });
}

###############################################################################
